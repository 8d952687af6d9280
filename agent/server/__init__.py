"""The page for browsing and reviewing runs, and the HTTP interface that it uses."""
