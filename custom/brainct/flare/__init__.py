"""The only room that imports nvflare; it carries orders and answers and holds no arithmetic."""
