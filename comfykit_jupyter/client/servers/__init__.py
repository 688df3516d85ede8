"""Several servers, as a sweep and a Dask cluster have them."""
