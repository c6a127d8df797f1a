"""A deployment in steps that can each run alone and again."""
