"""The audit log, and GDPR requests from their arrival until every service has confirmed."""
