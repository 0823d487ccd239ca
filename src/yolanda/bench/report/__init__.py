"""The results of `yolanda bench` as something to look at; made from the JSON files alone."""
