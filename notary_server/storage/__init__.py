"""SQL behind the MetadataStore port."""
