"""Comfy API v2: Comfy Cloud, its deployments, and comfy-api-proxy."""
