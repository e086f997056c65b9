"""Taking over from a Notary 0.7.0: what its databases hold, bringing it over, and the proof that nothing was lost."""
