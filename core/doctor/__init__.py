"""What is wrong with this installation, and the way out of each. Looks only: it changes, signals and starts nothing.

- `examine.examine` (`examined` without a loop): all checks, side by side, within 5 s even if everything hangs. Its
  `Report` is what was found.
- `report`: a report as JSON, and as a text that is fit for an issue.

One check is one function in a module named by its subject; `examine.CHECKS` lists them. What several need is a fact of
`case.Case`. It asks the sidecar that runs, where there is one, and the system itself where there is none.
"""
