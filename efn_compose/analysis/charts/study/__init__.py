"""The pictures of a study: heat maps, main effects, costs against scores, all axes at once."""
