"""What carries over: features learnt on one data set, frozen, under a new head on another."""
