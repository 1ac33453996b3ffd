"byoc folder"
