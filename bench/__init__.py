"""The benchmark: what LocalRouter costs beside a bare proxy, in ratios of one run."""
