"""Chapter 2: clients and servers, and the addresses by which they are found."""
