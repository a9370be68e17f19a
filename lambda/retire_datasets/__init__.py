"""Takes datasets that nobody needs any more out of use, and removes what runs that broke off have left behind."""
