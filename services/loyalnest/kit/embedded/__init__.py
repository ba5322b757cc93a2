"""Real servers for a machine that has none: PostgreSQL and Redis from wheels, owned by one `loyalnest up`.

Both listen on Unix sockets only and run in sessions of their own: Ctrl-C reaches the owner, which stops them in
order. If the owner is killed they live on, and the next owner adopts them.
"""
