"""A load generator: arrivals and figures are pure, `load` sends, `targets` knows whom to."""
