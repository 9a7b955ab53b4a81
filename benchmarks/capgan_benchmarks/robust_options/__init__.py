"""What each option of the mode `robust` buys, by training every one of them with the same budget and attacking them."""
