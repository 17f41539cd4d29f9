from flows import settings as settings  # prefect reads its environment when it is imported
