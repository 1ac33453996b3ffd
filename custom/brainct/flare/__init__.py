"""The only room that imports nvflare; it transports requests and replies and holds no arithmetic."""
