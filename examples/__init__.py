"""Examples that run from the checkout: `sayiir-es worker run examples.orders`."""
