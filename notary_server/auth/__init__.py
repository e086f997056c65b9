"""Who may do what: identities, and the decisions about them."""
