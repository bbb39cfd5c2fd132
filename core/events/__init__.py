"""What happens, published: the newest snapshot for views, the history with ids for streams.

- `snapshots.Broadcast`: a current value and its subscribers; slow ones get only the newest.
- `history.EventHistory`: the last events with ids that rise by one, for readers that come back.
"""
