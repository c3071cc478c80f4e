"""A recommender that answers over HTTP, and the histories that it answers from."""
