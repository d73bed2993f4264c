"""Models that a user's Python makes: finding and calling factories, and what the models are called with."""
