"""The only room that imports nvflare: carries requests and replies, and contains no arithmetic."""
