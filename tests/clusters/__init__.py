"""Clusters for the suite: the fixtures, which every test may ask for, and what they share."""
