-- From now on the key gets no token. Nothing is deleted.
obj.spec.suspended = true
return obj
