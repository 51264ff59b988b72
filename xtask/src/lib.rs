//! Set up, demo, test and bench oprc-pm.
