"""What server and site say to each other: requests, replies, their schema, and what a site agreed to; sends nothing."""
