"""The instruments and `ask` as tools of an MCP server."""
