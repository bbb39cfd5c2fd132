"""Graphics processors, by made-up drivers: this machine need not have any."""
