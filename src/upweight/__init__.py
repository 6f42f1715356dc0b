"""Which training data made the model do this, and what would happen without it?"""
