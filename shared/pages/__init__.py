"""What every page of Pashe is made with: templates, texts in two languages, forms, headers.

Plumbing and one design system; no business rule. `docs/pages.md` says how a page is made.
"""
