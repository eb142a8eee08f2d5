"""The plain server that plotsrv is measured against: one thread, and every picture drawn in the handler.

It is what a page of code with http.server, pandas and matplotlib gives: `python seed_server.py PORT`.
"""

import sys
from html import escape
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd


def draw_convergence(file_path):
    """The seed's figure: the loss on the left axis, the scores on the right one, with a legend."""
    table = pd.read_csv(file_path)
    figure, losses = plt.subplots()
    losses.plot(table["iteration"], table["loss"], color="red", label="loss")
    losses.set_xlabel("iteration")
    losses.set_ylabel("loss")
    scores = losses.twinx()
    for column, color in [("precision", "blue"), ("recall", "green"), ("f-score", "orange")]:
        scores.plot(table["iteration"], table[column], color=color, label=column)
    scores.set_ylabel("precision, recall, f-score")
    figure.legend(loc="upper center", ncols=4)
    return figure


class SeedHandler(BaseHTTPRequestHandler):
    """Methods named plot_* are plots; `mode` in the query says what is wanted of the one named by `graph`."""

    def do_GET(self):
        """Answer with the list of plots, a page that refreshes itself, or a picture."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        mode = query.pop("mode", "list")
        if mode == "plot":
            return self.send_plot(query.pop("graph"), query)
        return self.send_page(self.refreshing_page(query) if mode == "plotpage" else self.list_page())

    def plots(self):
        """The names of the plot methods."""
        return [name for name in dir(self) if name.startswith("plot_")]

    def list_page(self):
        """A link to each plot."""
        links = (f'<li><a href="/?mode=plotpage&amp;graph={name}">{name}</a></li>' for name in self.plots())
        return f"<ul>{''.join(links)}</ul>"

    def refreshing_page(self, query):
        """The picture, loaded anew every `refresh_every` seconds."""
        seconds = escape(query.get("refresh_every", "60"))
        source = escape("/?" + urlencode({**query, "mode": "plot"}))
        return f'<meta http-equiv="refresh" content="{seconds}"><img src="{source}">'

    def plot_convergence(self, file_path):
        """The curves of a training run."""
        return draw_convergence(file_path)

    def send_page(self, body):
        """Send HTML."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(f"<!doctype html><title>plots</title>{body}".encode())

    def send_plot(self, name, arguments):
        """Draw, and write the picture to the socket."""
        figure = getattr(self, name)(**arguments)
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        figure.savefig(self.wfile, format="png")
        plt.close(figure)

    def log_message(self, *_):
        """Keep quiet: writing a log is not what is measured."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), SeedHandler).serve_forever()
