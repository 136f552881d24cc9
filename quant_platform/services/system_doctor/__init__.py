"""system_doctor: probe results in, a verdict and a cure for each line out."""
