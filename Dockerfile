# docker build -t lightning-experiments . && docker run --rm lightning-experiments
# docker run --rm lightning-experiments make test
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make git && rm -rf /var/lib/apt/lists/*
WORKDIR /project
COPY . .
RUN make .venv/installed
CMD ["make", "train"]
