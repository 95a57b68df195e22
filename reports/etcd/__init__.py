"""The report of a run of real etcd: one HTML page (:func:`kchaos.reports.etcd.page.html`), and what a terminal shows of it."""
