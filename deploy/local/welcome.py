"""What a person reads once server and signer are up: the lines to paste into a second terminal."""

from __future__ import annotations

from .layout import PROJECT, Layout


def welcome(layout: Layout, port: int) -> str:
    """The text."""
    url = f"https://localhost:{port}"
    ca = layout.tls / "ca.pem"
    return f"""
The trust server is ready at {url}
Everything it keeps is in {layout.root} . Ctrl-C stops it; `make run` goes on with the same data.

Try it, in a second terminal:        make -C {PROJECT} demo

With docker (28 or older; 29 no longer verifies), once:

    mkdir -p ~/.docker/tls/localhost:{port}
    cp {ca} ~/.docker/tls/localhost:{port}/ca.crt
    export DOCKER_CONTENT_TRUST_SERVER={url}

  then push an image and sign it (the first push makes its keys), look at it, and pull it verified:

    DOCKER_CONTENT_TRUST=1 docker push REGISTRY/NAME:TAG
    docker trust inspect --pretty REGISTRY/NAME
    DOCKER_CONTENT_TRUST=1 docker pull REGISTRY/NAME:TAG
    docker trust sign REGISTRY/NAME:ANOTHER-TAG

With notary:

    notary -s {url} --tlscacert {ca} -d ~/.docker/trust init -p example/hello
    notary -s {url} --tlscacert {ca} -d ~/.docker/trust list example/hello

  or write it once, and leave -s and --tlscacert away:

    mkdir -p ~/.notary && cat > ~/.notary/config.json <<'END'
    {{"trust_dir": "~/.docker/trust", "remote_server": {{"url": "{url}", "root_ca": "{ca}"}}}}
    END
"""
