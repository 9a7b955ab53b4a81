"""The whole way on one page: signs drawn, the victim attacked, a bundle exported, verified and measured, a report."""
