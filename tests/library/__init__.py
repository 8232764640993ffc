"""The package inside of other people's programs."""
