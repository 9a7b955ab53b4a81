"""The defences of the paper's tables: networks, codes and codecs; `catalogue` has every one of them by name."""
