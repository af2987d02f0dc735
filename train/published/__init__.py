"""The authors' published weights: fetched once, recorded and checked; `fetch` is the way in."""
