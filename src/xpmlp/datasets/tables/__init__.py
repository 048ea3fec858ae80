"""Tables: CSV, Parquet, Arrow and .npz files, and the ones that come with scikit-learn."""
