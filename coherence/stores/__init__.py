"""The stores of homes.  `port` defines a store and its promises; see also `conformance`."""
