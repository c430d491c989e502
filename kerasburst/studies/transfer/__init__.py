"""Transfer: train on one data set, freeze those features, train a new head on another data set."""
