"""A manifest -> what ``kubectl apply`` takes. Pure functions; no cluster is asked."""
