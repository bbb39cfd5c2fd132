"""The owner `container:NAME`: an Ollama in a container of Docker or Podman, which the user named.

- `owner.make` makes it, `owner.ContainerOwner`; `running.ContainerRun` is one run of the container.
- `engine.Engine` asks an engine through its socket, and puts its refusals in words; `facts` is what it knows.
- `lines` is what a container prints, from a place that outlives this program; `copy` keeps it in the instance's log.

Imported only where the settings name a container: it brings the library aiodocker.
"""
