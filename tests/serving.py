"""A stand-in for the network that serves given bytes."""

import io


def serving(content, headers=None):
    def open_(url):
        response = io.BytesIO(content)
        response.headers = headers or {}
        return response

    return open_
