"""The parts of a report that only a head CT run has: findings, scores, model card, pictures of scans."""
