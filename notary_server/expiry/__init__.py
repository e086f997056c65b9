"""When what is stored ends: forecasts for metrics, and a report with the owners to call."""
