"""Where homes live.  `port` says what a store is and promises; the others are stores."""
